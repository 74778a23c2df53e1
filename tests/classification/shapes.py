"""Addresses that people have, one at least for each row of the rule table."""

import re

from toolkit.classification.rules import RULES
from toolkit.classification.web_address import parsed

MD5 = "324ad113b0ef6dabbb2c2c4cf8a8d108"
SHA256 = "a" * 64
INITIALS = "d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png"
SILHOUETTE = "https%3A%2F%2Fssl.gstatic.com%2Fs2%2Fprofiles%2Fimages%2Fsilhouette80.png"
GRAVATAR = f"https://s.gravatar.com/avatar/{MD5}?s=480&r=pg&{INITIALS}"

# Shapes of URLs as Auth0's documentation and recordings of its API show them.
SHAPES = [
    ("auth0", GRAVATAR, "unresolved", None),
    ("auth0", GRAVATAR.replace("s.gravatar", "secure.gravatar"), "unresolved", None),
    ("waad", "https://cdn.auth0.com/avatars/mo.png", "initials", None),
    ("waad", "https://cdn.auth0.com/avatars/cs.png", "initials", None),
    ("auth0", "https://i0.wp.com/cdn.auth0.com/avatars/xx.png?ssl=1", "initials", None),
    ("auth0", "https://i2.wp.com/cdn.auth0.com/avatars/xx.png", "initials", None),
    (
        "office365",
        f"https://secure.gravatar.com/avatar/{MD5}?s=480&r=pg&d={SILHOUETTE}",
        "unresolved",
        None,
    ),
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/a/AEdFTpxyz=s96-c",
        "social",
        "google-oauth2",
    ),
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/a-/AOh14Gxyz=s96-c",
        "social",
        "google-oauth2",
    ),
    (
        "google-oauth2",
        "https://lh4.googleusercontent.com/-OdsbOXom9qE/AAAAAAAAAAI/AAAAAAAAADU/_j8S/photo.jpg",
        "social",
        "google-oauth2",
    ),
    ("github", "https://avatars.githubusercontent.com/u/1006420?v=3", "social", "github"),
    (
        "facebook",
        "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext=1673985032&hash=Ae",
        "social",
        "facebook",
    ),
    ("facebook", "https://graph.facebook.com/v2.5/1/picture?type=large", "social", "facebook"),
    ("twitter", "https://pbs.twimg.com/profile_images/1/x_normal.jpg", "social", "twitter"),
    (
        "twitter",
        "https://abs.twimg.com/sticky/default_profile_images/default_profile_normal.png",
        "placeholder",
        "twitter",
    ),
    (
        "linkedin",
        "https://media.licdn.com/dms/image/C4E03/profile-displayphoto-shrink_800_800/0/1?e=1677110400&v=beta&t=x",
        "social",
        "linkedin",
    ),
    ("line", "https://profile.line-scdn.net/0habc", "social", "line"),
    ("oauth2", "https://avatars.slack-edge.com/2020/x.png", "social", "slack"),
    ("oauth2", "https://cdn.discordapp.com/avatars/1/abc.png", "social", "discord"),
    ("auth0", "https://www.example.com/picture.jpg", "custom", None),
    ("waad", "https://i1.wp.com/cdn.auth0.com/avatars/xx.png", "initials", None),
    # Of these no Auth0 payload was found; they show what the rules marked (*) stand for.
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/a/default-user=s96-c",
        "placeholder",
        "google-oauth2",
    ),
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/-XdUIqdMkCWA/AAAAAAAAAAI/photo.jpg",
        "placeholder",
        "google-oauth2",
    ),
    (
        "office365",
        "https://ssl.gstatic.com/s2/profiles/images/silhouette80.png",
        "placeholder",
        "google-oauth2",
    ),
    ("facebook", "https://static.xx.fbcdn.net/rsrc.php/v1/x.gif", "placeholder", "facebook"),
    ("facebook", "https://scontent.xx.fbcdn.net/v/t1/x.jpg?oe=5FB9F3A0", "social", "facebook"),
    ("linkedin", "https://static.licdn.com/sc/h/x", "placeholder", "linkedin"),
    ("oauth2", "https://cdn.discordapp.com/embed/avatars/0.png", "placeholder", "discord"),
    (
        "oauth2",
        "https://a.slack-edge.com/80588/img/avatars/ava_0001-512.png",
        "placeholder",
        "slack",
    ),
    ("vkontakte", "https://sun9-1.userapi.com/x.jpg", "social", "vkontakte"),
    ("yandex", "https://avatars.yandex.net/get-yapic/1/islands-200", "social", "yandex"),
    ("windowslive", "https://apis.live.net/v5.0/1/picture", "social", "windowslive"),
    ("oauth2", "https://i.scdn.co/image/ab6775", "social", "spotify"),
    # Gravatar and services like it.
    ("auth0", f"https://www.gravatar.com/avatar/{'0' * 32}?d=mp", "placeholder", None),
    ("auth0", "https://gravatar.com/avatar/D41D8CD98F00B204E9800998ECF8427E", "placeholder", None),
    ("auth0", f"http://www.gravatar.com/avatar.php?gravatar_id={MD5}", "unresolved", None),
    ("auth0", "https://www.gravatar.com/avatar.php?gravatar_id=me", "placeholder", None),
    ("auth0", "https://secure.gravatar.com/avatar/?s=96&d=mm&r=g", "placeholder", None),
    ("auth0", "https://www.gravatar.com/avatar?d=mp", "placeholder", None),
    ("auth0", "https://gravatar.com/avatar/ada@example.org", "placeholder", None),
    ("auth0", f"https://cravatar.cn/avatar/{MD5}?s=96&d=identicon", "unresolved", None),
    ("auth0", f"https://seccdn.libravatar.org/avatar/{MD5}?d=404", "unresolved", None),
    ("auth0", f"https://cdn.v2ex.com/gravatar/{MD5}", "unresolved", None),
    ("auth0", f"https://avatar-cdn.atlassian.com/{MD5}?d=404", "unresolved", None),
    ("auth0", "https://unavatar.io/ada", "unresolved", None),
    ("oauth2", "https://ca.slack-edge.com/T02-U03-g0f5a5d4f9f0-512", "unresolved", "slack"),
    # Drawn by a service.
    ("auth0", "https://ui-avatars.com/api/?name=A+Example", "placeholder", None),
    ("auth0", "https://i2.wp.com/ui-avatars.com/api/Ada%20Example?ssl=1", "placeholder", None),
    ("auth0", "https://api.dicebear.com/7.x/initials/svg?seed=Ada", "placeholder", None),
    ("auth0", "https://avatars.dicebear.com/api/identicon/a.svg", "placeholder", None),
    ("auth0", "https://robohash.org/ada.png?set=set4", "placeholder", None),
    ("auth0", "https://api.multiavatar.com/ada.svg", "placeholder", None),
    ("auth0", "https://source.boringavatars.com/beam/120/ada", "placeholder", None),
    ("auth0", "https://avatar.vercel.sh/ada", "placeholder", None),
    ("auth0", "https://img.clerk.com/eyJ0eXBlIjoiZGVmYXVsdCIsImlpZCI6Imlu", "placeholder", None),
    ("auth0", "https://api.adorable.io/avatars/285/ada.png", "placeholder", None),
    ("github", "https://github.com/identicons/ada.png", "placeholder", "github"),
    ("github", f"https://identicons.github.com/{MD5}.png", "placeholder", "github"),
    (
        "bitbucket",
        "https://avatar-management--avatars.us-west-2.prod.public.atl-paas.net/initials/KV-1.png",
        "placeholder",
        "bitbucket",
    ),
    (
        "planningcenter",
        "https://avatars.planningcenteronline.com/uploads/initials/JD.png?g=224x224%23",
        "placeholder",
        "planningcenter",
    ),
    ("oauth2", "https://t.me/i/userpic/320/abc.svg", "placeholder", "telegram"),
    # Stock images.
    ("auth0", "https://ssl.gstatic.com/accounts/ui/avatar_2x.png", "placeholder", "google-oauth2"),
    (
        "github",
        "https://i2.wp.com/assets-cdn.github.com/images/gravatars/gravatar-user-420.png",
        "placeholder",
        "github",
    ),
    (
        "facebook",
        "https://fbcdn-profile-a.akamaihd.net/static-ak/rsrc.php/v2/yo/r/UlIqmHJ-SK.gif",
        "placeholder",
        "facebook",
    ),
    (
        "facebook",
        (
            "https://scontent.fhan2-3.fna.fbcdn.net/v/t1.30497-1/cp0/c15.0.50.50a/p50x50/"
            "84628273_176159830277856_972693363922829312_n.jpg?_nc_cat=1&oh=35925a41&oe=6020A1B2"
        ),
        "placeholder",
        "facebook",
    ),
    (
        "facebook",
        (
            "https://fbcdn-profile-a.akamaihd.net/hprofile-ak-xap1/v/t1.0-1/c15.0.50.50/p50x50/"
            "10354686_10150004552801856_220367501106153455_n.jpg?oh=1&oe=56B3B3B3"
        ),
        "placeholder",
        "facebook",
    ),
    (
        "instagram",
        (
            "https://instagram.fcbr1-1.fna.fbcdn.net/v/t51.2885-19/"
            "44884218_345707102882519_2446069589734326272_n.jpg?oh=1&oe=65A1B2C3"
        ),
        "placeholder",
        "instagram",
    ),
    (
        "instagram",
        "http://images.ak.instagram.com/profiles/anonymousUser.jpg",
        "placeholder",
        "instagram",
    ),
    (
        "twitter",
        "http://a0.twimg.com/sticky/default_profile_images/default_profile_3_normal.png",
        "placeholder",
        "twitter",
    ),
    (
        "linkedin",
        "http://s.c.lnkd.licdn.com/scds/common/u/images/themes/katy/ghosts/person/ghost_person.png",
        "placeholder",
        "linkedin",
    ),
    ("oauth2", "https://cdn.discord.com/embed/avatars/3.png", "placeholder", "discord"),
    ("oauth2", "https://discord.com/assets/6debd47ed13483642cf0.png", "placeholder", "discord"),
    (
        "auth0",
        (
            "https://i1.wp.com/avatar-management--avatars.us-west-2.prod.public.atl-paas.net"
            "/default-avatar-5.png?ssl=1"
        ),
        "placeholder",
        "bitbucket",
    ),
    (
        "bitbucket",
        "https://d301sr5gafysq2.cloudfront.net/1/img/default_avatar/user_blue.svg",
        "placeholder",
        "bitbucket",
    ),
    ("vkontakte", "https://vk.com/images/camera_200.png", "placeholder", "vkontakte"),
    ("oauth2", "https://i.mycdn.me/res/stub_128x96.gif", "placeholder", "odnoklassniki"),
    (
        "yahoo",
        "https://s.yimg.com/ag/images/default_user_profile_pic_192sq.jpg",
        "placeholder",
        "yahoo",
    ),
    ("flickr", "https://www.flickr.com/images/buddyicon.gif", "placeholder", "flickr"),
    (
        "yandex",
        "https://avatars.yandex.net/get-yapic/0/0-0/islands-200",
        "placeholder",
        "yandex",
    ),
    (
        "weibo",
        "https://tvax1.sinaimg.cn/default/images/default_avatar_male_180.gif",
        "placeholder",
        "weibo",
    ),
    ("weibo", "http://tp1.sinaimg.cn/1404376560/180/0/1", "placeholder", "weibo"),
    ("renren", "http://head.xiaonei.com/photos/0/0/men_main.gif", "placeholder", "renren"),
    (
        "oauth2",
        (
            "https://thirdwx.qlogo.cn/mmopen/vi_32/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGK"
            "SyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/132"
        ),
        "placeholder",
        "wechat",
    ),
    (
        "oauth2",
        "http://t1.kakaocdn.net/account_images/default_profile.jpeg.twg.thumb.R640x640",
        "placeholder",
        "kakao",
    ),
    (
        "oauth2",
        "https://ssl.pstatic.net/static/pwe/address/img_profile.png",
        "placeholder",
        "naver",
    ),
    (
        "oauth2",
        "https://static.nid.naver.com/images/web/user/default.png",
        "placeholder",
        "naver",
    ),
    (
        "salesforce",
        "https://c.na40.content.force.com/profilephoto/005/F",
        "placeholder",
        "salesforce",
    ),
    (
        "fitbit",
        "https://static0.fitbit.com/images/profile/defaultProfile_100_male.gif",
        "placeholder",
        "fitbit",
    ),
    (
        "yammer",
        "https://mug0.assets-yammer.com/mugshot/images/48x48/no_photo.png",
        "placeholder",
        "yammer",
    ),
    (
        "planningcenter",
        "https://people.planningcenteronline.com/static/no_photo_thumbnail_gray.svg",
        "placeholder",
        "planningcenter",
    ),
    (
        "soundcloud",
        "https://a1.sndcdn.com/images/default_avatar_large.png",
        "placeholder",
        "soundcloud",
    ),
    (
        "oauth2",
        "https://static-cdn.jtvnw.net/user-default-pictures-uv/x-profile_image-300x300.png",
        "placeholder",
        "twitch",
    ),
    (
        "oauth2",
        "https://avatars.steamstatic.com/fef49e7fa7e1997310d705b2a6158ff8dc1cdfeb_full.jpg",
        "placeholder",
        "steam",
    ),
    (
        "oauth2",
        "https://www.redditstatic.com/avatars/defaults/v2/avatar_default_1.png",
        "placeholder",
        "reddit",
    ),
    ("oauth2", "https://s.pinimg.com/images/user/default_280.png", "placeholder", "pinterest"),
    (
        "untappd",
        "https://i1.wp.com/untappd.akamaized.net/site/assets/images/default_avatar_v3_gravatar.jpg",
        "placeholder",
        "untappd",
    ),
    ("windowslive", "https://secure.wlxrs.com/x/usertile.png", "placeholder", "windowslive"),
    (
        "dropbox",
        "https://cfl.dropboxstatic.com/static/images/avatar/faceholder-32.png",
        "placeholder",
        "dropbox",
    ),
    (
        "thirtysevensignals",
        "https://asset0.37img.com/global/missing/avatar.png",
        "placeholder",
        "thirtysevensignals",
    ),
    (
        "amazon",
        "https://m.media-amazon.com/images/S/amazon-avatars-global/default.png",
        "placeholder",
        "amazon",
    ),
    ("paypal", "https://www.paypalobjects.com/x.png", "placeholder", "paypal"),
    ("oauth2", "https://gitlab.com/assets/no_avatar.png", "placeholder", "gitlab"),
    ("auth0", "https://i.pravatar.cc/150?u=ada", "placeholder", None),
    (
        "auth0",
        "https://cdn.pixabay.com/photo/2015/10/05/22/37/blank-profile-picture-973460_1280.png",
        "placeholder",
        None,
    ),
    ("auth0", "https://www.w3schools.com/howto/img_avatar.png", "placeholder", None),
    ("auth0", "https://bootdey.com/img/Content/avatar/avatar1.png", "placeholder", None),
    (
        "auth0",
        "https://upload.wikimedia.org/wikipedia/commons/2/2c/Default_pfp.svg",
        "placeholder",
        None,
    ),
    # Files of an application on a provider's host.
    ("auth0", "https://lh3.googleusercontent.com/d/1AbCdEfMadeUpFileId", "custom", None),
    (
        "auth0",
        "https://cdn.discordapp.com/attachments/1/2/a.png?ex=65A1B2C3&is=1&hm=2",
        "custom",
        None,
    ),
    ("auth0", "https://raw.githubusercontent.com/u/photos/main/a.png", "custom", None),
    # Pictures of accounts.
    ("auth0", "https://profiles.google.com/s2/photos/profile/1", "social", "google-oauth2"),
    ("auth0", "https://github.com/ada-example.png?size=80", "social", "github"),
    (
        "instagram",
        "https://instagram.fbog2-3.fna.fbcdn.net/v/t51.2885-19/1_2_3_n.jpg?oh=1&oe=5F3B398F",
        "social",
        "instagram",
    ),
    (
        "instagram",
        (
            "https://scontent-sjc3-1.cdninstagram.com/vp/544a75b94c5fbe0ed6cc7d0ce6343edb/5CA4F5B5"
            "/t51.2885-19/s150x150/1_2_3_n.jpg"
        ),
        "social",
        "instagram",
    ),
    (
        "instagram",
        "http://images.ak.instagram.com/profiles/profile_1_75sq_1.jpg",
        "social",
        "instagram",
    ),
    ("twitter", "https://twitter.com/ada/profile_image?size=original", "social", "twitter"),
    (
        "auth0",
        "https://media-exp3.licdn.com/dms/image/C5/profile-displayphoto/0?e=1594857600&v=beta",
        "social",
        "linkedin",
    ),
    ("bitbucket", "https://bitbucket.org/account/ada/avatar/32/", "social", "bitbucket"),
    (
        "bitbucket",
        "https://avatar-management--avatars.us-west-2.prod.public.atl-paas.net/5b/c/128",
        "social",
        "bitbucket",
    ),
    ("oauth2", "https://i.mycdn.me/image?id=1", "social", "odnoklassniki"),
    ("yahoo", "https://socialprofiles.zenfs.com/images/a_192.jpg", "social", "yahoo"),
    ("yahoo", "https://s.yimg.com/ag/images/4a5b_192sq.jpg", "social", "yahoo"),
    ("flickr", "https://farm3.staticflickr.com/2/buddyicons/1@N00.jpg", "social", "flickr"),
    (
        "auth0",
        (
            "https://cid-0123456789abcdef.users.storage.live.com/users/0x01/myprofile"
            "/expressionprofile/profilephoto:UserTileStatic"
        ),
        "social",
        "windowslive",
    ),
    (
        "weibo",
        "https://tvax4.sinaimg.cn/crop.0.0.1080.1080.50/1.jpg?KID=imgbed,tva&Expires=1742568205",
        "social",
        "weibo",
    ),
    ("renren", "http://hdn.xnimg.cn/photos/hdn421/1/head.jpg", "social", "renren"),
    ("baidu", "https://himg.bdimg.com/sys/portrait/item/abc.jpg", "social", "baidu"),
    ("oauth2", "https://thirdqq.qlogo.cn/g?b=oidb&k=abc&s=100", "social", "qq"),
    ("oauth2", "https://thirdwx.qlogo.cn/mmopen/vi_32/abc/132", "social", "wechat"),
    ("oauth2", "https://k.kakaocdn.net/dn/abc/img_640x640.jpg", "social", "kakao"),
    ("oauth2", "https://phinf.pstatic.net/contact/1/a.jpg", "social", "naver"),
    (
        "oauth2",
        "https://p16-sign-va.tiktokcdn.com/tos-maliva-avt-0068/1.jpeg?x-expires=1672120800",
        "social",
        "tiktok",
    ),
    ("salesforce", "https://c.na40.content.force.com/profilephoto/729/F", "social", "salesforce"),
    ("fitbit", "https://d6y8zfzc2qfsl.cloudfront.net/A_profile_100.jpg", "social", "fitbit"),
    ("yammer", "https://mug0.assets-yammer.com/mugshot/images/48x48/a", "social", "yammer"),
    (
        "planningcenter",
        "https://avatars.planningcenteronline.com/uploads/person/1/a.jpg",
        "social",
        "planningcenter",
    ),
    ("soundcloud", "https://i1.sndcdn.com/avatars-1-large.jpg", "social", "soundcloud"),
    ("oauth2", "https://static-cdn.jtvnw.net/jtv_user_pictures/a-300x300.png", "social", "twitch"),
    ("oauth2", "https://avatars.steamstatic.com/abc_full.jpg", "social", "steam"),
    (
        "oauth2",
        "https://steamcdn-a.akamaihd.net/steamcommunity/public/images/avatars/ab/abc.jpg",
        "social",
        "steam",
    ),
    ("oauth2", "https://styles.redditmedia.com/t5_1/styles/profileIcon_1.png", "social", "reddit"),
    ("oauth2", "https://i.pinimg.com/75x75_RS/a/b/c.jpg", "social", "pinterest"),
    ("untappd", "https://untappd.akamaized.net/profile/a_100x100.jpg", "social", "untappd"),
    ("dropbox", "https://dl-web.dropbox.com/account_photo/get/dbid", "social", "dropbox"),
    ("box", "https://app.box.com/api/avatar/large/1", "social", "box"),
    (
        "thirtysevensignals",
        "https://bc3-production-assets-cdn.basecamp-static.com/1/people/a/avatar",
        "social",
        "thirtysevensignals",
    ),
    (
        "amazon",
        "https://m.media-amazon.com/images/S/amazon-avatars-global/abc.jpg",
        "social",
        "amazon",
    ),
    ("oauth2", "https://t.me/i/userpic/320/abc.jpg", "social", "telegram"),
    ("oauth2", "https://cdn4.telesco.pe/file/abc.jpg", "social", "telegram"),
    ("oauth2", "https://gitlab.com/uploads/-/system/user/avatar/1/a.png", "social", "gitlab"),
]


def rule_of(url):
    """Return the first row that matches, found as the table says it: from the top."""
    address = parsed(url)
    for rule in RULES:
        below = any(f".{address.host}".endswith(f".{host}") for host in rule.hosts)
        if below and re.match(rule.path, address.path):
            return rule
    return None


def example_of(rule):
    """Return a path that a rule matches."""
    return next(parsed(url).path for _, url, *_ in SHAPES if rule_of(url) == rule)
