"""Draws the page of docs/export.md with an image classified, as WebP.

In Debian's Chromium (apt-get install chromium chromium-driver), by Selenium of
the extra [test]. The picture of README.md shows the run of make demo:

  python tools/export.py --workdir=demo/run --output=demo/model --page
  python tools/docs/make_page_picture.py --page=demo/model/classify.html \
    --image=demo/data/train/ID --output=docs/page.webp
"""

import glob
import os
import pathlib
import shutil

from absl import flags
import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome import service
from selenium.webdriver.support import wait

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.report import tile

_WIDTH_PX, _HEIGHT_PX = 1200, 1120  # the end of a long list is cut off
_TIMEOUT_S = 120
_DRIVER = 'chromedriver'
_PAGE = flags.DEFINE_string('page', '', 'classify.html of an exported model.')
_IMAGE = flags.DEFINE_string(
    'image', '', 'What the paths of the files of an image begin with.')
_OUTPUT = flags.DEFINE_string('output', '', 'The picture, a .webp.')


def main() -> None:
  """Draws the page of the flags, and prints the path of the picture."""
  page = path_check.require_local(_PAGE.value, 'page')
  output = path_check.require_local(_OUTPUT.value, 'output')
  image = path_check.require_local(_IMAGE.value, 'image')
  files = sorted(glob.glob(glob.escape(image) + '_*'))
  if not files or not os.path.exists(page):
    raise errors.DataError(f'No files {image}_*, or no page {page}.')
  if not output.endswith('.webp'):
    raise errors.DataError(f'Expected --output=NAME.webp, received {output}.')
  path_check.prepare_output(output, 'output')
  with path_check.translate_write_errors(output):
    path_check.refuse_foreign(output, 'WEBP', 'output')
    filesystem.write_atomically(output, tile.to_webp(_draw(page, files)))
  print(output)


def _draw(page: str, files: list[str]) -> np.ndarray:
  """Returns the page with the files classified, [H, W, 3] uint8 RGB."""
  driver_path = shutil.which(_DRIVER)
  if not driver_path:
    raise errors.DataError(f'{_DRIVER} is not installed; on Debian: apt-get '
                           'install chromium chromium-driver.')
  options = webdriver.ChromeOptions()
  for argument in ('--headless=new', '--no-sandbox', '--hide-scrollbars',
                   '--disable-dev-shm-usage'):
    options.add_argument(argument)
  with webdriver.Chrome(options, service.Service(driver_path)) as driver:
    driver.execute_cdp_cmd(
        'Emulation.setDeviceMetricsOverride', {
            'width': _WIDTH_PX,
            'height': _HEIGHT_PX,
            'deviceScaleFactor': 1,
            'mobile': False
        })
    driver.get(pathlib.Path(page).resolve().as_uri())
    driver.find_element('id', 'files').send_keys('\n'.join(
        map(os.path.realpath, files)))
    wait.WebDriverWait(driver, _TIMEOUT_S).until(
        lambda _: driver.find_element('id', 'results').is_displayed())
    data = np.frombuffer(driver.get_screenshot_as_png(), np.uint8)
  return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


if __name__ == '__main__':
  cli.run(main)
