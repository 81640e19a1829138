import { PlatformError } from '@nubo/base'
import { violatedConstraint } from '@nubo/runtime'

/**
 * For `.catch` of a creation: a violated unique name becomes NAME_TAKEN, a reference to something that was removed
 * meanwhile NOT_FOUND; anything else stays.
 */
export function nameTaken(kind: string, name: string): (error: unknown) => never {
  return (error) => {
    const constraint = violatedConstraint(error)
    if (constraint?.endsWith('_fkey') === true) {
      throw new PlatformError(
        'NOT_FOUND',
        { kind, name, next: 'look again: something that it refers to was removed meanwhile' },
        { cause: error },
      )
    }
    if (constraint?.startsWith(`${kind}_`) !== true || !/_name(_key)?$/.test(constraint))
      throw error
    throw new PlatformError(
      'NAME_TAKEN',
      { field: 'name', kind, name, next: 'choose another name' },
      {
        message: `Another ${kind === 'vm' ? 'VM' : kind} called ${name} exists already.`,
        cause: error,
      },
    )
  }
}
