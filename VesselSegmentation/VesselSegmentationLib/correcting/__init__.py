"""Tools that edit a segmentation, their one history, log and copies against crashes."""
