// For Spectral: what refers to something outside of its file is a fault, and nothing is fetched.
"use strict";

const { Resolver } = require("@stoplight/json-ref-resolver");

module.exports = new Resolver({ resolvers: {} });
