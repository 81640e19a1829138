import type { IncomingMessage } from 'node:http'
import type { Route } from '@nubo/contracts'
import type { z } from 'zod'

/** What a handler gets: the parsed request and who asks. `Caller` is the server's own notion of that. */
export interface RequestInput<R extends Route, Caller> {
  readonly caller: Caller
  readonly params: z.output<NonNullable<R['params']>>
  readonly query: z.output<NonNullable<R['query']>>
  readonly body: z.output<NonNullable<R['body']>>
  readonly requestId: string
  readonly ifMatch: string | undefined
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
  /** The body as it comes, for routes of the form 'upload'. */
  readonly upload: IncomingMessage
}

export interface Binding<Caller> {
  readonly route: Route
  readonly handle: (input: RequestInput<Route, Caller>) => Promise<unknown>
}

/** A route of the form 'events' answers with a stream of these. */
export type EventStream<Event> = AsyncIterable<Event>

/** Binds a contract to a service call; the types of the call follow from the contract. */
export function bind<R extends Route, Caller>(
  route: R,
  handle: (
    input: RequestInput<R, Caller>,
  ) => Promise<
    NonNullable<R['form']> extends 'events' ? EventStream<z.input<R['reply']>> : z.input<R['reply']>
  >,
): Binding<Caller> {
  // proof: the server parses params, query and body with the schemas of this very route before it calls handle
  return { route, handle: handle as Binding<Caller>['handle'] }
}
