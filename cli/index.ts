// The CLI is a program, started as main.ts; other packages have nothing to import from it.
export {}
