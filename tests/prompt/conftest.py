import torch

# Tiny products are slower on several threads than on one.
torch.set_num_threads(1)
