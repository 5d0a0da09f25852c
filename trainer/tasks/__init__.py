"""What is trained. A task implements the interface in trainer/training/task.py.

pretrain            next-token prediction or denoising on batches of a mixture
pretrain_settings pretrain_inputs   all settings of such a run; its tokenizer and data opened
depth               shape, rate, batch and length of a run from its depth
denoising           objectives that turn a text into inputs and targets
anneal              the last part of a run: learning rate to 0 on better data
document_losses     losses by domain and by document
import_model        a Hugging Face folder as a run at step 0
sft                 the answers of conversations
reward preference kto   scores from pairs of answers; DPO; KTO, from answers rated one by one
policy policy_settings rewards   PPO and GRPO: learning from rewards of one's own answers
trained_prompts     prompts that a run has learned from
best_of_n           the best of n answers, without training
self_instruct instruction_filters   new tasks from a few seed tasks
assistant_export    chat template and stop token of an exported assistant
post_training summed_losses   what these tasks share
start_model         what post-training starts from
open_generator      a run or an endpoint, to be asked
launch              run a task as one process or as one rank of several
"""
