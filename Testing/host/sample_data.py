"""Stand-in for the module ``SampleData``: what is registered there, with the checks of the real one."""

from __future__ import annotations

from typing import Any

sources: dict[str, list[Any]] = {}


class SampleDataSource:
    def __init__(
        self,
        sampleName: Any = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: Any = None,
    ) -> None:
        # The real class writes lists of these and counts them, also where it is the custom function that loads.
        if not isinstance(uris, str) or not isinstance(fileNames, str):
            raise TypeError("uris and fileNames must be given")
        self.sampleName, self.nodeNames, self.customDownloader = sampleName, nodeNames, customDownloader
        self.thumbnailFileName = thumbnailFileName


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **keywords: Any) -> None:
        source = SampleDataSource(**keywords)
        if source.sampleName not in [each.sampleName for each in sources.setdefault(category, [])]:
            sources[category].append(source)
