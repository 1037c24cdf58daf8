"""Training of networks: configuration, patches from drawn scans, augmentation, losses, and the loop around them."""
