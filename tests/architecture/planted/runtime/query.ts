import { spawn } from 'node:child_process' // breaks: child-process
import { sql } from 'kysely' // breaks: sql-in-store
export const query = () => spawn('sh', ['-c', String(sql)], { shell: true }) // breaks: shell-string
