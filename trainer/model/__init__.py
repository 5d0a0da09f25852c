"""The networks. Shapes are in the docstrings; hugging_face.py renames the weights for export.

model_settings      the shape of a model
size                parameters and FLOP, computed from the shape
build               the network that settings describe, and the blocks of a network
weights             initial weights; loading weights into shards
decoder encoder_decoder   the two networks, built from attention, rotary, norm and experts
loss token_log_probs  cross-entropy, and log-probabilities with entropies, without the logits of a whole batch
float8              linear layers whose products are in fp8
retro               cross-attention to the retrieved neighbors of each chunk
lora                thin trained matrices beside frozen ones
policy_and_value    a decoder with a value model beside it
parts               parts of weights and sequences on several ranks
key_value_cache     keys and values during generation
hugging_face        export in Llama's or Mixtral's layout; from_hugging_face imports
peft_adapters       adapters in the layout of the PEFT library
"""
