/** All items of a list: as lines at one revision where the server has them, else page by page. */
import { itemOf, LINES_TYPE, type RouteName } from '@nubo/contracts'
import type { Deadline } from './deadline.ts'
import { ContractError, isApiError } from './errors.ts'
import type { CallOptions } from './routes.ts'
import { exchange, replyOf, requestPath, routeOf, type Transport } from './transport.ts'

/** A list beyond it is read by its filters. */
const ITEMS_MAX = 1_000_000
/** The largest object (a set with 16 containers and 1,000 rejected hosts) is far below this. */
const LINE_CHARS_MAX = 4 * 2 ** 20

interface Page {
  readonly items: readonly unknown[]
  readonly cursor: string | null
}

/** Errors as of a call; a list that comes in pages may change between them, but tells all that was there throughout. */
export async function readWholeList(
  transport: Transport,
  name: RouteName,
  query: object,
  options: CallOptions,
): Promise<unknown[]> {
  let cursor: string | null | undefined
  const items: unknown[] = []
  const take = (part: Page): void => {
    for (const item of part.items) items.push(item)
    if (items.length > ITEMS_MAX)
      throw new ContractError(`a list has more than ${ITEMS_MAX} items; use its filters`)
    cursor = part.cursor
  }
  try {
    take(
      await ask(
        transport,
        { name, query, accept: `${LINES_TYPE}, application/json;q=0.5` },
        options,
      ),
    )
  } catch (error) {
    // Whole lists are few at once; pages are not.
    if (!isApiError(error, 'TOO_MANY_REQUESTS')) throw error
  }
  while (cursor !== null)
    take(
      await ask(
        transport,
        { name, query: { ...query, cursor }, accept: 'application/json' },
        options,
      ),
    )
  return items
}

async function ask(
  transport: Transport,
  asked: { name: RouteName; query: object; accept: string },
  options: CallOptions,
): Promise<Page> {
  const { name, query, accept } = asked
  const path = requestPath(name, { query })
  const readPage = replyOf(name, path)
  const { result } = await exchange(transport, {
    name,
    path,
    accept,
    read: async (response, deadline, server) => {
      if (response.headers.get('content-type')?.startsWith(LINES_TYPE) === true)
        return { items: await readLines(name, response, deadline), cursor: null }
      // proof: the route is a list, and its reply was checked by the route's schema
      return (await readPage(response, deadline, server)) as Page
    },
    ...options,
  })
  return result
}

async function readLines(
  name: RouteName,
  response: Response,
  deadline: Deadline,
): Promise<unknown[]> {
  const schema = itemOf(routeOf(name).reply)
  const items: unknown[] = []
  const decoder = new TextDecoder()
  let rest = ''
  if (response.body !== null) {
    for await (const chunk of response.body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > LINE_CHARS_MAX)
        throw new ContractError(`a line of a list is longer than ${LINE_CHARS_MAX} characters`)
      for (const line of lines) items.push(parseItem(schema, line))
      if (items.length > ITEMS_MAX)
        throw new ContractError(`a list has more than ${ITEMS_MAX} items; use its filters`)
      deadline.extend()
    }
  }
  deadline.cancel()
  if (rest !== '') throw new ContractError('a list ends in the middle of a line')
  return items
}

function parseItem(schema: ReturnType<typeof itemOf>, line: string): unknown {
  let item: unknown
  try {
    item = JSON.parse(line)
  } catch (cause) {
    throw new ContractError('a line of a list is not JSON', cause)
  }
  const parsed = schema.safeParse(item)
  if (parsed.success) return parsed.data
  throw new ContractError(
    'an item of a list does not follow the contract. Is the server newer than this program?',
    parsed.error,
  )
}
