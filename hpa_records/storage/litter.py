"""Files and folders that operating systems and version control create."""

_LITTER = {
    '.DS_Store', 'Thumbs.db', 'desktop.ini', '.directory', '.gitignore',
    '.gitkeep', '.git', '.Trashes', '.Spotlight-V100', '.fseventsd', '__MACOSX',
    '$RECYCLE.BIN', 'System Volume Information', 'lost+found'
}


def is_litter(file: str) -> bool:
  """Returns whether a system or version control created a file or folder.

  Args:
    file: its name, with or without parent folders.
  """
  base = file.rpartition('/')[2]
  return base in _LITTER or base.startswith('._')
