package portus

// Version is the version of this client. `make version` sets it.
const Version = "0.1.0"
