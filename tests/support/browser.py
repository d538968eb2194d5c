"""A real browser without a window: Debian's chromium."""

import json
import os
import pathlib
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome import service

_DRIVER = 'chromedriver'


class Browser:
  """A page from disk, and what went on while it was open.

  Attributes:
    driver: Selenium's.
  """

  def __init__(self, driver: webdriver.Chrome):
    self.driver = driver

  def open(self, path: pathlib.Path, width_px: int = 1280) -> None:
    """Opens a file in a window of that width."""
    self.driver.set_window_size(width_px, 900)
    # A window is never narrower than 500 px; a phone is.
    self.driver.execute_cdp_cmd(
        'Emulation.setDeviceMetricsOverride', {
            'width': width_px,
            'height': 900,
            'deviceScaleFactor': 1,
            'mobile': width_px < 600
        })
    self.driver.get(path.resolve().as_uri())

  def console(self) -> list[str]:
    """Returns what stood on the console since the last call."""
    return [entry['message'] for entry in self.driver.get_log('browser')]

  def requests(self) -> list[str]:
    """Returns the addresses that were asked for since the last call."""
    events = (json.loads(entry['message'])['message']
              for entry in self.driver.get_log('performance'))
    return [
        event['params']['request']['url']
        for event in events
        if event['method'] == 'Network.requestWillBeSent'
    ]


def start() -> Browser:
  """Starts the browser; skips the test where there is none, but not in CI."""
  if not shutil.which(_DRIVER):
    if os.environ.get('REQUIRE_BROWSER'):
      pytest.fail(f'Expected {_DRIVER} of Debian\'s chromium, received none.')
    pytest.skip(f'needs {_DRIVER}: apt-get install chromium chromium-driver')
  options = webdriver.ChromeOptions()
  for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage',
                   '--disable-background-networking', '--hide-scrollbars'):
    options.add_argument(argument)
  options.set_capability('goog:loggingPrefs', {
      'browser': 'ALL',
      'performance': 'ALL'
  })
  return Browser(
      webdriver.Chrome(options, service.Service(shutil.which(_DRIVER))))
