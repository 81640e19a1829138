/** Ends a `switch` over a union: the compiler proves it is never called; at run time it is a bug. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
