"""A web server of one folder, with byte ranges, that waits before each answer.

  python -m benchmarks.remote.server FOLDER DELAY_MS

It prints its port. http://127.0.0.1:PORT/records/NAME is a file of the folder.
What S3's clients ask for to read an object is the same: s3://records/NAME, with
the server as their endpoint. Files are sent by the kernel (sendfile), so that
the server takes little of the processor that its clients are measured on.
"""

import asyncio
import sys

from aiohttp import web


async def _serve(folder: str, delay_s: float) -> None:

  @web.middleware
  async def wait(request, handler):
    await asyncio.sleep(delay_s)
    return await handler(request)

  app = web.Application(middlewares=[wait])
  app.router.add_static('/records', folder)
  runner = web.AppRunner(app, access_log=None)
  await runner.setup()
  await web.TCPSite(runner, '127.0.0.1', 0).start()
  print(runner.addresses[0][1], flush=True)
  await asyncio.Event().wait()


if __name__ == '__main__':
  asyncio.run(_serve(sys.argv[1], float(sys.argv[2]) / 1000))
