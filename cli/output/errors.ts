/**
 * Every error as a person or a program reads it: code, sentence, field, limit, other facts, and the next thing to do.
 * Codes come from the server's catalogue; the few that only a command line can meet are here.
 */
import { styleText } from 'node:util'
import { isPlatformError, type ErrorCode } from '@nubo/base'
import {
  ApiError,
  ContractError,
  OutcomeUnknownError,
  StreamError,
  UnreachableError,
} from '@nubo/client'
import { nouns } from '../commands/tree.ts'
import {
  CreateUnknownError,
  exitCode,
  FileError,
  InterruptedError,
  LoginError,
  OperationFailedError,
  UsageError,
} from '../errors.ts'
import type { Surroundings } from '../surroundings.ts'
import type { OutputFormat } from './json.ts'
import { renderTable } from './table.ts'
import { plainText } from './values.ts'

export type CliErrorCode =
  | 'USAGE'
  | 'NOT_LOGGED_IN'
  | 'FILE_UNUSABLE'
  | 'CLOUD_UNREACHABLE'
  | 'OUTCOME_UNKNOWN'
  | 'CONTRACT_BROKEN'
  | 'STREAM_BROKEN'
  | 'OPERATION_CANCELLED'
  | 'OPERATION_SUPERSEDED'
  | 'INTERRUPTED'

export interface ErrorReport {
  readonly exitCode: number
  readonly code: string
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
  readonly requestId: string | undefined
  readonly next: string | undefined
}

/** Where the error happened, for the next step: 'set' and 'set run', and with which thing if that is known. */
export interface FailedCommand {
  readonly noun: string
  readonly path: string
  readonly name?: string
}

/** These lie in no project. */
const ofRegion = new Set(['host', 'project'])

/** What to do next where the server does not say it better. */
const nextSteps: Partial<Record<ErrorCode, (at: FailedCommand) => string>> = {
  INVALID_INPUT: ({ path }) => `nubo ${path} --help`,
  UNAUTHENTICATED: () => 'log in with a valid token: nubo login --server URL --token-stdin',
  FORBIDDEN: () => 'ask an owner of the project for a token with a higher role',
  NOT_FOUND: ({ noun }) =>
    `look what there is: nubo ${noun} ls${ofRegion.has(noun) ? '' : " (another project's things need --project)"}`,
  NAME_TAKEN: ({ noun }) => `choose another name, or look at it: nubo ${noun} ls`,
  IN_USE: () => 'remove what uses it first',
  NOT_PLACED: () => 'nubo host ls shows what is free; ask for less, or let it go to more hosts',
  ADDRESSES_EXHAUSTED: () =>
    'remove ports that nothing uses (nubo port ls), or use a larger subnet',
  DEADLINE_EXCEEDED: ({ noun }) => `look how it stands: nubo ${noun} ls`,
  TOO_MANY_REQUESTS: () => 'try again in a moment',
  DATABASE_UNAVAILABLE: () => 'try again in a moment; on this machine: nubo status',
  HOST_UNREACHABLE: () => 'look at the host: nubo host ls',
  IMAGE_BROKEN: () =>
    'give a root file system tar, the output of docker save, or an OCI layout tar',
  CONTAINER_EXITED: ({ name = 'NAME' }) => `read what it printed: nubo set logs ${name}`,
  OUT_OF_MEMORY: () => 'give it more with --memory',
  INTERNAL: () => 'report it with the request id; the log of the server has the details',
}

export function reportOf(error: unknown, at: FailedCommand): ErrorReport {
  if (error instanceof ApiError) return apiReport(error, at)
  if (error instanceof OperationFailedError) return operationReport(error, at)
  if (error instanceof UnreachableError) {
    const tried = error.attempts.map(({ server, text }) => `${server} (${text})`).join(', ')
    return report('CLOUD_UNREACHABLE', `The cloud is not up: no server answers at ${tried}.`, {
      next: 'start it with: nubo up; or see how it is: nubo status',
    })
  }
  if (error instanceof CreateUnknownError) return report('OUTCOME_UNKNOWN', error.message, error)
  if (error instanceof OutcomeUnknownError) {
    return report('OUTCOME_UNKNOWN', error.message, { next: `nubo ${at.noun} ls` })
  }
  if (error instanceof UsageError) {
    const next = error.next ?? `nubo ${at.path === '' ? '' : `${at.path} `}--help`
    return report('USAGE', error.message, { next, exitCode: exitCode.usage })
  }
  if (error instanceof LoginError) return report('NOT_LOGGED_IN', error.message, error)
  if (error instanceof FileError) return report('FILE_UNUSABLE', error.message, {})
  if (error instanceof InterruptedError) {
    return report('INTERRUPTED', error.message, {
      next: error.next,
      exitCode: exitCode.interrupted,
    })
  }
  if (error instanceof ContractError) return report('CONTRACT_BROKEN', error.message, {})
  if (error instanceof StreamError) {
    return report('STREAM_BROKEN', error.message, { next: 'run the same command again' })
  }
  return unexpectedReport(error)
}

function report(
  code: CliErrorCode,
  message: string,
  more: { next?: string; exitCode?: number },
): ErrorReport {
  return {
    exitCode: more.exitCode ?? exitCode.failed,
    code,
    message,
    details: {},
    requestId: undefined,
    next: more.next,
  }
}

function apiReport(error: ApiError, at: FailedCommand): ErrorReport {
  const { next, ...details } = error.details
  const { kind } = details
  const noun = typeof kind === 'string' && nouns.some(({ name }) => name === kind) ? kind : at.noun
  return {
    exitCode: exitCodeOf(error.code),
    code: error.code,
    message: error.message,
    details,
    requestId: error.requestId === '' ? undefined : error.requestId,
    next: typeof next === 'string' ? next : nextStep(error.code, { ...at, noun }),
  }
}

/** A malformed field is a wrong command line, whoever found it. */
function exitCodeOf(code: string): number {
  if (code === 'INVALID_INPUT') return exitCode.usage
  return code === 'NOT_PLACED' ? exitCode.notPlaced : exitCode.failed
}

function nextStep(code: string, at: FailedCommand): string | undefined {
  return Object.hasOwn(nextSteps, code)
    ? nextSteps[code as ErrorCode]?.(at) // proof: the keys of nextSteps are codes
    : undefined
}

function operationReport(error: OperationFailedError, at: FailedCommand): ErrorReport {
  const { state, reason, kind, resource, id } = error.operation
  const code =
    reason?.code ??
    (state === 'cancelled'
      ? 'OPERATION_CANCELLED'
      : state === 'superseded'
        ? 'OPERATION_SUPERSEDED'
        : 'INTERNAL')
  const details: Record<string, unknown> = { [resource.kind]: resource.name, operation: id, kind }
  if (error.rejected.length > 0) details['rejected'] = error.rejected
  if (kind === 'apply') {
    const next = 'correct what failed and apply again: what is done stays'
    const isNotPlaced = code === 'NOT_PLACED'
    const ended = isNotPlaced ? exitCode.notPlaced : exitCode.failed
    return { exitCode: ended, code, message: error.message, details, requestId: undefined, next }
  }
  const look = `nubo ${resource.kind} show ${resource.name}`
  const step = nextStep(code, { ...at, noun: resource.kind, name: resource.name })
  return {
    exitCode: code === 'NOT_PLACED' ? exitCode.notPlaced : exitCode.failed,
    code,
    message: error.message,
    details,
    requestId: undefined,
    next: step === undefined || kind.endsWith('.remove') ? look : `${step}; see also: ${look}`,
  }
}

function unexpectedReport(error: unknown): ErrorReport {
  const known = isPlatformError(error)
  return {
    exitCode: exitCode.failed,
    code: known ? error.code : 'INTERNAL',
    message: error instanceof Error ? error.message : String(error),
    details: known ? error.details : {},
    requestId: undefined,
    next: known ? undefined : 'this is a defect of nubo; --debug shows where',
  }
}

/** Writes the report to stderr: as a JSON object with `-o json`, else as lines. */
export function printReport(
  { stderr }: Surroundings,
  report: ErrorReport,
  format: OutputFormat,
): void {
  const { code, message, details, requestId, next } = report
  if (format === 'json') {
    const shown = { code, message, details, requestId, next }
    stderr.write(`${JSON.stringify(shown, undefined, 2)}\n`)
    return
  }
  const { rejected, issues, ...facts } = details
  const lines = Object.entries(facts)
    .filter(([, value]) => value !== '' && value !== null && value !== undefined)
    .map(([label, value]): [string, string] => [label, oneLine(value)])
  lines.push(...issueLines(issues))
  if (requestId !== undefined) lines.push(['request', requestId])
  if (next !== undefined) lines.push(['next', next])
  const width = Math.max(0, ...lines.map(([label]) => label.length))
  const head = styleText('red', 'error:', { stream: stderr })
  stderr.write(`${head} ${plainText(message)} (${plainText(code)})\n`)
  if (Array.isArray(rejected)) stderr.write(rejectedTable(rejected, stderr))
  for (const [label, value] of lines) {
    stderr.write(`  ${plainText(label).padEnd(width)}  ${plainText(value)}\n`)
  }
}

/** Where several fields are wrong, a line for each; a single one is in the message already. */
function issueLines(issues: unknown): [string, string][] {
  if (!Array.isArray(issues) || issues.length < 2) return []
  return issues.map((issue: unknown): [string, string] => {
    const { field, problem } = (issue ?? {}) as Record<string, unknown> // proof: any value but null has properties
    return typeof field === 'string' && typeof problem === 'string'
      ? ['problem', `${field}: ${problem}`]
      : ['problem', oneLine(issue)]
  })
}

function oneLine(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
}

function rejectedTable(rejected: unknown[], stderr: Surroundings['stderr']): string {
  const rows = rejected.filter(
    (row): row is { host: string; reason: string } =>
      typeof row === 'object' && row !== null && 'host' in row && 'reason' in row,
  )
  const width = stderr.isTTY === true ? (stderr.columns ?? 80) - 2 : undefined
  const table = renderTable(
    rows,
    [
      { header: 'HOST', value: ({ host }) => host },
      { header: 'WHY NOT', value: ({ reason }) => reason },
    ],
    width,
  )
  return table.replaceAll(/^/gm, '  ').replace(/ +$/, '')
}
