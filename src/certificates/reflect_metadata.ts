// The polyfill that the X.509 library asks for. It is CommonJS: see forge.ts.

import "reflect-metadata";
