import type { Route } from '@nubo/contracts'
import { bind, type Answer, type Binding, type RequestInput } from '@nubo/runtime'
import type { Caller } from './caller.ts'

export type CallerBinding = Binding<Caller>

/** Binds a call of the public API to a service; a route does nothing else. */
export function route<R extends Route>(
  contract: R,
  handle: (input: RequestInput<R, Caller>) => Promise<Answer<R>>,
): CallerBinding {
  return bind<R, Caller>(contract, handle)
}
