"""One module a file format; nothing outside this folder imports h5py."""
