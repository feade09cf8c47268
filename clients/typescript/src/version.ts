/** The version of this client. `make version` sets it. */
export const VERSION = "0.1.0";
