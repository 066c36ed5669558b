import api, { route } from '@forge/api-3.8';

const answer = (statusCode, content) => ({ statusCode, headers: { 'Content-Type': ['application/json'] }, body: JSON.stringify(content) });

exports.intake = async ({ headers, body }) => {
  const [key] = headers['x-intake-key'] ?? [];
  if (!process.env.INTAKE_KEY || key !== process.env.INTAKE_KEY) return answer(401, { refused: 'key' });
  const { project, title, text, kind } = JSON.parse(body);
  const made = await api.asApp().requestJira(route`/rest/api/2/issue`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ fields: { project: { key: project }, summary: title, description: text, issuetype: { name: kind } } }),
  });
  return answer(made.status, await made.json());
};
