"""The exchanges whose streams tell whole books by themselves, one file each; `base` is what they share."""
