import { isUuid, newId, PlatformError, type Clock, type Random } from '@nubo/base'
import type { Member, Role } from '@nubo/contracts'
import { violatedConstraint } from '@nubo/runtime'
import type {
  AccountRow,
  MemberRow,
  Recorder,
  Selection,
  World,
  WorldReader,
} from '../../world/index.ts'
import { projectOf, type Caller } from './caller.ts'
import { deleteAccount, deleteMember, insertAccount, notMember, upsertMember } from './store.ts'
import { nameTaken } from './names.ts'

interface AccountDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
}

/** NOT_FOUND names it. */
export function findAccount(world: World, nameOrId: string): AccountRow {
  const account = isUuid(nameOrId)
    ? world.account.get(nameOrId)
    : world.account.by('name', nameOrId)[0]
  if (account !== undefined) return account
  throw new PlatformError(
    'NOT_FOUND',
    { kind: 'account', account: nameOrId, next: 'operators see all in `nubo account ls`' },
    { message: `There is no account ${nameOrId}.` },
  )
}

/** Accounts, and what they are in projects. */
export function accountCalls({ world, recorder, clock, random }: AccountDeps) {
  return {
    listAccounts: (): Selection<AccountRow> => ({ rows: (range) => world.account.in(range) }),

    createAccount: async (name: string): Promise<AccountRow> => {
      const row: AccountRow = { id: newId(clock, random), name, createdAtMs: clock.nowMs() }
      await recorder
        .write((tx, touched) => insertAccount(tx, touched, row))
        .catch(nameTaken('account', name))
      return row
    },

    removeAccount: async (nameOrId: string): Promise<AccountRow> => {
      const account = findAccount(world, nameOrId)
      await recorder
        .write((tx, touched) => deleteAccount(tx, touched, account))
        .catch((error: unknown) => {
          if (violatedConstraint(error) === undefined) throw error
          throw new PlatformError(
            'IN_USE',
            {
              account: account.name,
              next: 'end its memberships and remove the projects that it owns first',
            },
            {
              message: `Account ${account.name} owns a project or is a member of one.`,
              cause: error,
            },
          )
        })
      return account
    },

    listMembers: (caller: Caller): Selection<MemberRow> => {
      const project = projectOf(caller)
      return { rows: (range) => world.member.byIn('project', project, range) }
    },

    setMember: async (caller: Caller, nameOrId: string, role: Role): Promise<MemberRow> => {
      const account = findAccount(world, nameOrId)
      const row: MemberRow = {
        id: newId(clock, random),
        projectId: projectOf(caller),
        accountId: account.id,
        role,
        createdAtMs: clock.nowMs(),
      }
      return recorder
        .write((tx, touched) => upsertMember(tx, touched, { row, accountName: account.name }))
        .catch(nameTaken('account', account.name))
    },

    removeMember: async (caller: Caller, nameOrId: string): Promise<MemberRow> => {
      const projectId = projectOf(caller)
      const account = isUuid(nameOrId)
        ? world.account.get(nameOrId)
        : world.account.by('name', nameOrId)[0]
      // Whether there is such an account is for operators to know.
      if (account === undefined) throw notMember(nameOrId)
      const { id: accountId, name: accountName } = account
      return recorder.write((tx, touched) =>
        deleteMember(tx, touched, { projectId, accountId, accountName }),
      )
    },
  }
}

export function memberView(world: WorldReader, row: MemberRow): Member {
  return { ...row, account: world.account.get(row.accountId)?.name ?? row.accountId }
}
