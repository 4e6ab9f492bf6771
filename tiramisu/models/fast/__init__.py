"""The same numbers as plain PyTorch, faster and in less memory.

choice           which way a block is computed: one place decides
fused            a dense block on the CPU in one buffer, without concatenations; its gradients
plain_gradients  these gradients again in plain operations, for second derivatives
folded           a dense block for inference, with batch norm folded into the convolutions
stages           how a layer is cut into pieces that fit the processor's cache
recompute        training in less memory: batch norm and ReLU are repeated in the backward pass
"""
