"""The class session: the sessions of clients that are logged in."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import (
    LOCAL_ROOT,
    POOL_ADMIN,
    POOL_OPERATOR,
    READ_ONLY,
    RO,
    RW,
    STATIC,
    Class,
    Field,
    Message,
    Param,
)
from xenapi_core.model.types import BOOL, DATETIME, STRING, STRING_MAP, Ref, Set

# fmt: off
SESSION = Class(
    "session",
    "An authenticated connection of a client; its reference is the secret that admits calls.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the session, which does not admit calls.", default=""),
        Field("this_host", Ref("host"), RO, "Host that answers the session's calls.", default=NULL_REF),
        Field("this_user", Ref("user"), RO, "User of the session in the sense of API 1.0.", default=NULL_REF),
        Field("last_active", DATETIME, RO, "When the session was last used, UTC; kept to within ten minutes.",
              default=0),
        Field("pool", BOOL, RO, "Whether a member of the pool logged in with the pool secret.", default=False),
        Field("other_config", STRING_MAP, RW, "Free settings of clients.", default={}),
        Field("is_local_superuser", BOOL, RO, "Whether root of the host logged in.", default=False),
        Field("subject", Ref("subject"), RO, "Account of an external directory that logged in, or null.",
              default=NULL_REF),
        Field("validation_time", DATETIME, RO, "When the account was last looked up in its directory, UTC.", default=0),
        Field("auth_user_sid", STRING, RO, "Identifier of the account in its directory.", default=""),
        Field("auth_user_name", STRING, RO, "Name with which the user logged in.", default=""),
        Field("rbac_permissions", Set(STRING), STATIC, "Calls the roles of the user permit.", default=()),
        Field("tasks", Set(Ref("task")), RO, "Tasks the session has started.", default=(), inverse="task.session"),
        Field("parent", Ref("session"), STATIC, "Session this one was opened from, or null.", default=NULL_REF),
        Field("originator", STRING, RO, "Program that logged in, as it names itself.", default=""),
        Field("client_certificate", BOOL, RO, "Whether a client certificate stood in for a password.", default=False),
    ),
    messages=(
        # logging in and out
        Message("login_with_password",
                (Param("uname", STRING), Param("pwd", STRING), Param("version", STRING, default="1.1"),
                 Param("originator", STRING, default="")), Ref("session"),
                "Log in with user name and password; gives the session.", role=READ_ONLY, asynchronous=False,
                session=False, secret=True, errors=(E.SESSION_AUTHENTICATION_FAILED, E.HOST_IS_SLAVE)),
        Message("logout", (), None, "End the session; calls that wait for events end with SESSION_INVALID.",
                role=READ_ONLY, asynchronous=False),
        Message("slave_login", (Param("host", Ref("host")), Param("psecret", STRING)), Ref("session"),
                "Log in as a member of the pool, with the pool secret.", role=POOL_ADMIN, asynchronous=False,
                session=False, secret=True, hidden=True),
        Message("slave_local_login", (Param("psecret", STRING),), Ref("session"),
                "Log in to a member with the pool secret, also without a coordinator.", role=POOL_ADMIN,
                asynchronous=False, session=False, secret=True, hidden=True),
        Message("slave_local_login_with_password", (Param("uname", STRING), Param("pwd", STRING)), Ref("session"),
                "Log in to a member as root, also without a coordinator.", role=POOL_ADMIN, asynchronous=False,
                session=False, secret=True),
        Message("local_logout", (), None, "End a session that was opened without a coordinator.", role=POOL_ADMIN,
                asynchronous=False),
        Message("create_from_db_file", (Param("filename", STRING),), Ref("session"),
                "Open a session on a copy of a database.", role=LOCAL_ROOT),
        # accounts
        Message("change_password", (Param("old_pwd", STRING), Param("new_pwd", STRING)), None,
                "Change the password of the account that is logged in.", role=LOCAL_ROOT, asynchronous=False,
                secret=True),
        Message("get_all_subject_identifiers", (), Set(STRING),
                "Identifiers of the external accounts that are logged in.", role=READ_ONLY),
        Message("logout_subject_identifier", (Param("subject_identifier", STRING),), None,
                "End all sessions of an external account.", role=POOL_OPERATOR),
    ),
    get_all=False,
    events=False,
    persist=False,
    role=POOL_ADMIN,
)
