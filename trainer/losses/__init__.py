"""Losses of post-training as pure functions of log-probabilities, rewards and values.

preferences   DPO and KTO, from the log-probabilities of whole answers
ranking       Bradley-Terry for reward models
policy        PPO's and GRPO's losses, advantages (GAE, of groups), KL estimators
"""
