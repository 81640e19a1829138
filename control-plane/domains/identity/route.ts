import type { Route } from '@nubo/contracts'
import { bind, type Binding, type EventStream, type RequestInput } from '@nubo/runtime'
import type { z } from 'zod'
import type { Caller } from './caller.ts'

export type CallerBinding = Binding<Caller>

/** Binds a call of the public API to a service; a route does nothing else. */
export function route<R extends Route>(
  contract: R,
  handle: (
    input: RequestInput<R, Caller>,
  ) => Promise<
    NonNullable<R['form']> extends 'events' ? EventStream<z.input<R['reply']>> : z.input<R['reply']>
  >,
): CallerBinding {
  return bind<R, Caller>(contract, handle)
}
