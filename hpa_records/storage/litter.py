"""Files and folders that nobody put there on purpose."""

_LITTER = {
    '.DS_Store', 'Thumbs.db', 'desktop.ini', '.directory', '.gitignore',
    '.gitkeep', '.git', '.Trashes', '.Spotlight-V100', '.fseventsd', '__MACOSX',
    '$RECYCLE.BIN', 'System Volume Information', 'lost+found'
}


def is_litter(file: str) -> bool:
  """Returns whether a file browser or version control put a file there, not
  the user.

  Also of the folders that an operating system keeps at the top of a disk.

  Args:
    file: its name, with or without folders.
  """
  base = file.rpartition('/')[2]
  return base in _LITTER or base.startswith('._')
