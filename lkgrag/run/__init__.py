"""The run: its stages in the order of the data's flow, their keys and cache, its folder, log and outputs."""
