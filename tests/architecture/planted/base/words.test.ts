import { execSync } from 'node:child_process' // breaks: shell-string
export const word = Date.now() + execSync('true').length
