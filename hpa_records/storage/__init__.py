"""Files and folders, local or remote; locks; checks of paths in flags."""
