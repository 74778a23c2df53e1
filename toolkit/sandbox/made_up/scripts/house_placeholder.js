function housePlaceholder(user, context, callback) {
  // Whoever has no Gravatar is shown with the house's placeholder instead of initials.
  const { URL } = require('url');
  if (user.picture && user.picture.includes('gravatar.com/avatar/')) {
    const address = new URL(user.picture);
    address.searchParams.set('d', 'https://www.example.com/placeholder.png');
    user.picture = address.href;
  }
  callback(null, user, context);
}
