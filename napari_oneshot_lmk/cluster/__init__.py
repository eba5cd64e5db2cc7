"""The same work on many machines, through dask.distributed."""
