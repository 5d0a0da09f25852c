"""Text from a model, and what it is worth.

generate          sampling and generation
prompts           prompts to answer, with what verifies their answers
verifiers         rewards that code can check
generated_tasks   questions with verifiers, made by the thousand
text_stream       the text of an answer while its tokens are drawn
chat              a conversation with a model
grounded_chat     the same with passages from a chunk database, and their sources
generator         one way to ask a model: a run on this machine
endpoint          the same over HTTP: OpenAI-compatible endpoints
journal           a file of JSON lines that survives a kill
policy_rollouts   a policy's answers with their rewards, as the data of its next steps
shared_prompts    answers to one prompt in one row, so that it is computed once
"""
