"""Other libraries: the only modules that import escnn, e3nn or torch_geometric."""
