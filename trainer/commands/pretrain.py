"""Pre-trains a network on images, without their labels.

  hpa-pretrain --flagfile=sifloc.flags --records=records --workdir=pretrained
  hpa-pretrain --records=records,unlabelled --workdir=pretrained --fold=0
  hpa-pretrain --records=hpa --workdir=metric --loss=arcface --identity=antibody

hpa-train --init_from=pretrained starts from the result. The same command
continues an interrupted run.
"""

import dataclasses
import os

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer import setting
from trainer.pretraining import settings as settings_lib
from trainer.run import workdir

_SETTINGS = dataclasses.fields(settings_lib.Settings)

for _field in _SETTINGS:
  setting.define_flag(_field)


def main() -> None:
  """Pre-trains, and says where the result is."""
  values = {each.name: flags.FLAGS[each.name].value for each in _SETTINGS}
  addresses = [
      path_check.require_path(each, 'records')
      for each in settings_lib.split(values['records'])
  ]
  values['records'] = settings_lib.join(addresses)
  written = values['workdir'] = path_check.require_local(
      values['workdir'], 'workdir')
  path_check.refuse_shared(
      [('workdir', written)], [('records', each) for each in addresses],
      closed=[('records', each) for each in addresses],
      filled=[
          ('workdir', each) for each in workdir.list_fold_directories(written)
      ])
  settings = settings_lib.Settings(**values)
  with process.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from hpa_records.runtime.tensorflow import tf
    from trainer.pretraining import loop
  if settings.deterministic:
    tf.config.experimental.enable_op_determinism()
  found = loop.pretrain(settings)
  directory = workdir.fold_directory(written, settings.fold)
  print(f'{len(found.values)} layers after epoch {found.epoch}: '
        f'{os.path.join(directory, workdir.ENCODER_NAME)}')
  print(f'Start a training from them: hpa-train --init_from={directory} '
        f'--model={settings.model} --activation={settings.activation}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=setting.list_groups(settings_lib.Settings))
