/** Types of the calls, inferred from the contract, so that a change there is a compile error at every caller. */
import { type Api, type RouteName } from '@nubo/contracts'

/** Calls with another form than one JSON reply have their own method. A test holds this equal to the contract. */
export const specialRoutes = ['watch', 'imageImport'] as const
export type CallName = Exclude<RouteName, (typeof specialRoutes)[number]>

type Input<Schema> = Schema extends { _zod: { input: infer Value } } ? Value : never
type Output<Schema> = Schema extends { _zod: { output: infer Value } } ? Value : never

/** A coerced field takes anything by its schema; callers give what it becomes. */
type QueryInput<Schema> = {
  [Key in keyof Input<Schema>]: unknown extends Input<Schema>[Key]
    ? Key extends keyof Output<Schema>
      ? Output<Schema>[Key] | undefined
      : never
    : Input<Schema>[Key]
}

type Params<Name extends RouteName> = Input<NonNullable<Api[Name]['params']>>
type Query<Name extends RouteName> = QueryInput<NonNullable<Api[Name]['query']>>
type Body<Name extends RouteName> = Input<NonNullable<Api[Name]['body']>>

/** Absent where the route has none, optional where every field is, else required. */
type Part<Key extends string, Value> = [Value] extends [undefined]
  ? unknown
  : Partial<Value> extends Value
    ? { readonly [K in Key]?: Value | undefined }
    : { readonly [K in Key]: Value }

export type CallRequest<Name extends RouteName> = Part<'params', Params<Name>> &
  ([Input<NonNullable<Api[Name]['query']>>] extends [undefined]
    ? unknown
    : Part<'query', Query<Name>>) &
  Part<'body', Body<Name>>

export type CallReply<Name extends RouteName> = Output<Api[Name]['reply']>

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** How long one server may take; the default depends on the method. */
  readonly timeoutMs?: number | undefined
  /** The generation that was read: the call is refused with CHANGED_MEANWHILE if the thing has another by now. */
  readonly ifMatch?: number | undefined
}

/** The request may be left out where nothing in it is required. */
export type CallArguments<Name extends CallName> =
  Partial<CallRequest<Name>> extends CallRequest<Name>
    ? [request?: CallRequest<Name>, options?: CallOptions]
    : [request: CallRequest<Name>, options?: CallOptions]

export type Calls = {
  readonly [Name in CallName]: (...call: CallArguments<Name>) => Promise<CallReply<Name>>
}

/** Calls that answer with a page of items. */
export type ListName = {
  [Name in CallName]: CallReply<Name> extends { items: unknown[]; cursor: string | null }
    ? Name
    : never
}[CallName]
export type ListItem<Name extends ListName> =
  CallReply<Name> extends { items: (infer Item)[] } ? Item : never
export type ListQuery<Name extends ListName> = Omit<Query<Name>, 'cursor' | 'limit'>
