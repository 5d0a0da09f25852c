"""The networks. Shapes are in the docstrings; names of weights are ours, hugging_face.py translates them.

model_settings size a model's shape; its parameters and FLOP computed from it
build weights       the network that settings describe; its initial weights
decoder encoder_decoder   the networks, built of attention, rotary, norm, experts
loss                cross-entropy without the logits of a whole batch
key_value_cache     keys and values during generation
hugging_face        export in Llama's or Mixtral's layout
"""
