import Resolver from '@forge/resolver';
import api, { authorize, route, storage } from '@forge/api-3';

const definitions = new Resolver();
definitions.define('load', async ({ payload }: any) => storage.get(payload.key));
definitions.define('save', async ({ payload }: any) => { await storage.set(payload.key, payload.value); });
definitions.define('may', async ({ payload }: any) => ({
  edit: await authorize().onJiraIssue(payload.issues).canEdit(),
  remove: await authorize().onJiraIssue(payload.issues).canDelete(),
}));
export const resolver = definitions.getDefinitions();

const ask = async (url: any, content?: unknown) => {
  const method = content === undefined ? 'GET' : 'POST';
  const answer = await api.asApp().requestJira(url, { method, headers: { Accept: 'application/json', 'Content-Type': 'application/json' }, body: content && JSON.stringify(content) });
  return { status: answer.status, body: answer.status === 204 ? null : await answer.json() } as any;
};

export async function moved(event: any) {
  const change = event.changelog.items.find(({ field }: any) => field === 'status');
  if (!change) return;
  const to = (await ask(route`/rest/api/2/status/${change.to}`)).body;
  const { transitions } = (await ask(route`/rest/api/2/issue/${event.issue.id}/transitions`)).body;
  const text = `Now in ${to.statusCategory.name}`;
  const comment = await ask(route`/rest/api/3/issue/${event.issue.id}/comment`, { body: { type: 'doc', version: 1, content: [{ type: 'paragraph', content: [{ type: 'text', text }] }] } });
  await storage.set(`moved-${event.issue.key}`, { to: to.name, comment: comment.status, open: transitions.every(({ isAvailable, hasScreen }: any) => isAvailable && !hasScreen) });
}
