# SPDX-License-Identifier: Apache-2.0
"""Registering shared memory, system and CUDA."""

from naiad.protocol.rest import documents
from naiad.protocol.rest.shared_memory import decode_cuda_register_request, decode_register_request
from naiad.server.http.exchange import JSON, Exchange
from naiad.shm.cuda import CudaRegions
from naiad.shm.regions import Regions, check_name
from naiad.shm.system import SystemRegions


class SharedMemoryHandlers:
    """Answers about `regions`."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._system_regions = SystemRegions(regions)
        self._cuda_regions = CudaRegions(regions)

    def status(self, exchange: Exchange, region: str) -> None:
        """`GET /v2/systemsharedmemory[/region/{region}]/status`."""
        exchange.respond(200, JSON, (documents.dumps(documents.regions(self._system_regions.status(region))),))

    def register(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/systemsharedmemory/region/{region}/register`."""
        self._regions.check_allowed()
        check_name("system", region)
        self._system_regions.register(region, *decode_register_request(exchange.body))
        exchange.respond(200)

    def unregister(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/systemsharedmemory[/region/{region}]/unregister`."""
        self._system_regions.unregister(region)
        exchange.respond(200)

    def cuda_status(self, exchange: Exchange, region: str) -> None:
        """`GET /v2/cudasharedmemory[/region/{region}]/status`."""
        told = documents.cuda_regions(self._cuda_regions.status(region))
        exchange.respond(200, JSON, (documents.dumps(told),))

    def cuda_register(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/cudasharedmemory/region/{region}/register`."""
        self._regions.check_allowed()
        check_name("cuda", region)
        self._cuda_regions.register(region, *decode_cuda_register_request(exchange.body))
        exchange.respond(200)

    def cuda_unregister(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/cudasharedmemory[/region/{region}]/unregister`."""
        self._cuda_regions.unregister(region)
        exchange.respond(200)
