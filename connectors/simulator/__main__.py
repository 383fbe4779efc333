"""`python -m connectors.simulator --config FILE.json`: one process, several venues, each on its own port.

The file holds `seed`, `speed`, `venues` and `state`, the folder in which they remember what they accepted (`connectors.simulator.config`).
When all venues serve, one line of JSON on stdout says where: `{"ready": {"alpha": {"rest_url": "http://…", "ws_url": "ws://…"}}}`.
SIGTERM and SIGINT end it with 0; a configuration, a memory or a recording that cannot be read, or a taken port, with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

import uvloop

from connectors.simulator.config import Settings, settings
from connectors.simulator.venue import Simulator, now_ms

log = logging.getLogger("connectors.simulator")


async def main(read: Settings) -> None:
    """Run until a signal says to leave. Raises what ends a venue."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # No number may come again after a restart: they grow slower than by a thousand a millisecond.
    simulator = Simulator(read, now_ms() * 1000)
    try:
        places = await simulator.start()
        print(json.dumps({"ready": places}), flush=True)
        log.info("serving %s", ", ".join(f"{name} at {at['rest_url']}" for name, at in places.items()))
        running, stopped = asyncio.create_task(simulator.run()), asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        running.cancel()
        stopped.cancel()
        await asyncio.gather(running, stopped, return_exceptions=True)
    finally:
        await simulator.stop()
    log.info("ended")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Exchanges in Binance's spot dialect, to trade on without one.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        path: Path = parser.parse_args().config
        uvloop.run(main(settings(json.loads(path.read_text()), path.parent)))
    except (ValueError, OSError) as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception:
        log.exception("cannot go on")
        sys.exit(1)
