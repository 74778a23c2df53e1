exports.onExecutePostLogin = async (event, api) => {
  const { role = 'member' } = event.user.app_metadata || {};
  api.idToken.setCustomClaim('https://www.example.com/role', role);
};
