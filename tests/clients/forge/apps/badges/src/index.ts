import Resolver from '@forge/resolver';
import { properties } from '@forge/api-2';

const definitions = new Resolver();
definitions.define('badge', async ({ context }: any) => (await properties.onJiraIssue(context.extension.issue.key).get('badge')) ?? null);
export const resolver = definitions.getDefinitions();
