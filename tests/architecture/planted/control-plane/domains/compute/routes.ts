import { compute } from './service.ts'
export const bindings = (tx: { text?: string }) => [
  tx.text ?? compute(tx),
  tx.text === undefined ? compute(tx) : undefined, // breaks: routes-bind
  tx.text || compute(tx), // breaks: routes-bind
]
