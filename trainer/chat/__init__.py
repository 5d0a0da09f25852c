"""What post-training reads: conversations and preferences, written as tokens by one chat template.

conversation        Message, Conversation, Preference: the schema that every format is read into
read_conversations  files of conversations: messages, ShareGPT, Alpaca, Open-Assistant trees, task tables
read_preferences    files of preferences: HH-RLHF, chosen and rejected, judged pairs; and of rated answers
question_pages      questions and answers of a curated dataset's pages as conversations
task_templates      several ways to ask the same question, for tables of questions and answers
chat_template       a conversation as token ids, and which of them are learned; the same as a Jinja template
chat_batches pair_batches rated_batches   encoded conversations, pairs of answers, rated answers as the rows of a batch
"""
