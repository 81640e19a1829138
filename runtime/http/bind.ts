import type { IncomingMessage } from 'node:http'
import type { Route } from '@nubo/contracts'
import type { z } from 'zod'
import type { Encoded, WholeList } from './encoded.ts'

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
  /** The whole list is asked for instead of a page, for routes of the form 'list'. */
  readonly wantsWhole: boolean
}

export interface Binding<Caller> {
  readonly route: Route
  readonly handle: (input: RequestInput<Route, Caller>) => Promise<unknown>
}

/** A route of the form 'events' answers with a stream of these; what comes together is written together. */
export type EventStream<Event> = AsyncIterable<readonly Encoded<Event>[]>

/** What a handler answers: a value of the contract, maybe encoded already, or what the form of the route asks for. */
export type Answer<R extends Route> =
  NonNullable<R['form']> extends 'events'
    ? EventStream<z.input<R['reply']>>
    : NonNullable<R['form']> extends 'list'
      ? z.input<R['reply']> extends { items: (infer Item)[] }
        ? Encoded<z.input<R['reply']>> | WholeList<Item>
        : never
      : z.input<R['reply']> | Encoded<z.input<R['reply']>>

/** Binds a contract to a service call; the types of the call follow from the contract. */
export function bind<R extends Route, Caller>(
  route: R,
  handle: (input: RequestInput<R, Caller>) => Promise<Answer<R>>,
): Binding<Caller> {
  // proof: the server parses params, query and body with the schemas of this very route before it calls handle
  return { route, handle: handle as Binding<Caller>['handle'] }
}
