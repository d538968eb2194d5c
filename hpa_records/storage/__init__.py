"""Files and folders, local or at an address; locks; paths given as flags."""
