"""Text from a model, and what it is worth.

generate          sampling and generation
prompts           prompts to answer, with what verifies their answers
verifiers         rewards that code can check
generated_tasks   questions with verifiers, made by the thousand
chat              a conversation with a model
policy_rollouts   a policy's answers with their rewards, as the data of its next steps
"""
