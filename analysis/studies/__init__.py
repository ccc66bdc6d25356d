"""Studies: sweeps over cells, sizes, data and seeds that can be stopped, resumed and spread over machines."""
